---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
base_model: paligemma-3b-mix-224
training:
  micro_batch_size: 4
  sequence_len: 512
  adapter: dora
  audio: {}
  sources:
    - path: ../y
      include: ["**/*"]
      max_bytes_per_file: 1
    - path: ~/x
      include: []
      max_files: "3"
      max_bytes_per_file: 1
  dpo:
    enabled: true
    beta: 0.3
    reference: pre_dpo_adapter
export:
  default_quant: Q6_K
  default_top_p: 0.9
  default_temperature: 0.2
---


<!-- dlm-auto-mined: judge_name="j" judge_score_chosen="0.82" judge_score_rejected="1e-7" mined_at="2026-01-02" mined_run_id="7" -->

text with é
::image path="a.png"::
::instruction::
### A


