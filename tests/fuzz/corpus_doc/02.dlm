---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 1
base_model: hf:org/name
training:
  sequence_len: 512
  num_epochs: 3
  preference:
    enabled: true
    hyperparams:
      num_epochs: 1
      learning_rate: 1.0e-5
      beta: 0.1
    loss_type: ipo
    method: dpo
    reference: base
system_prompt: >
  folded
  text
---

::image path="" ::
<!-- dlm-auto-harvest: source="run_1" -->
<!-- dlm-auto-mined: judge_name="j" judge_score_chosen="0.82" judge_score_rejected="1e-7" mined_at="2026-01-02" mined_run_id="7" -->
~~~
::image path="a.png"::

