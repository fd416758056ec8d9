---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
base_model: smollm2-135m
training:
  warmup_ratio: 0
  lora_dropout: "0.2"
  optimizer: adamw_torch
  cpt: {}
export:
  default_quant: Q6_K
  default_temperature: 0.2
system_prompt: |-
  no end
---

### Q
   
::image path="a.png"::
  ::instruction::
<!-- dlm-auto-mined: judge_name="j" judge_score_chosen="0.82" judge_score_rejected="1e-7" mined_at="2026-01-02" mined_run_id="7" -->
 
### Q
<!-- dlm-auto-synth: synth_teacher="t" synth_strategy="s" synth_at="2026-01-02T03:04:05Z" source_section_id="0123456789abcdef" -->
 
﻿bom
::instruction::