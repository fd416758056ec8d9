---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 11
base_model: hf:org/name
training:
  sources_policy: strict
  sequence_len: 2048
  num_epochs: 1
  learning_rate: 1
---


<!-- dlm-auto-harvest: source="a"b" -->
<!-- dlm-auto-synth: synth_teacher="t" synth_strategy="s" synth_at="2026-01-02T03:04:05Z" source_section_id="0123456789abcdef" -->
<!-- dlm-auto-mined: judge_name="j" judge_score_chosen="0.82" judge_score_rejected="1e-7" mined_at="2026-01-02" mined_run_id="7" -->
  ::instruction::
::instruction::
<!-- dlm-auto-mined: judge_name="j" judge_score_chosen="0.82" judge_score_rejected="1e-7" mined_at="2026-01-02" mined_run_id="7" -->
### A
::image path="a.png" alt="x y"::
::image path="a\"b"::
   

