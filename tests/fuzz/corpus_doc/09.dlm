---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 1
base_model: smollm2-135m
training:
  sequence_len: 512
  lr_scheduler: cosine
  target_modules: []
  seed: 7
  grad_accum: auto
  preference:
    loss_type: sigmoid
    hyperparams:
      alpha: 1
      learning_rate: 0.0002
      num_epochs: 3
    enabled: false
    method: orpo
    reference: base
  dpo:
    enabled: true
    beta: 0.3
    reference: pre_dpo_adapter
system_prompt: |
  You are

  terse.
---
::prose#a::
::image path="a.png" alt="x y"::
::image path="a\"b"::
text with é
<!-- dlm-auto-mined: judge_name="j" judge_score_chosen="0.82" judge_score_rejected="1e-7" mined_at="2026-01-02" mined_run_id="7" -->
~~~
   