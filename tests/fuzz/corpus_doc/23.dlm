---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 1
base_model: smollm2-135m
training:
  optimizer: adamw_torch
  adapter: qlora
  grad_accum: auto
  lora_alpha: 32
  num_epochs: 1
  cpt:
    embed_warmup_steps: 5
export:
  default_temperature: "1_0"
  default_quant: Q4_K_M
system_prompt: null
---
<!-- dlm-auto-mined: judge_name="j" judge_score_chosen="0.82" judge_score_rejected="1e-7" mined_at="2026-01-02" mined_run_id="7" -->
~~~
::image path="a.png" alt="x y"::
<!-- dlm-auto-synth: synth_teacher="t" synth_strategy="s" synth_at="2026-01-02T03:04:05Z" source_section_id="0123456789abcdef" -->
﻿bom
	
::image path="a\"b"::
<!-- dlm-auto-synth: synth_teacher="t" synth_strategy="s" synth_at="2026-01-02T03:04:05Z" source_section_id="0123456789abcdef" -->
<!-- dlm-auto-harvest: source="run_1" -->

text with é