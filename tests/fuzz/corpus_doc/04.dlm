---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 15
base_model: smollm2-135m
training:
  adapter: qlora
  warmup_ratio: 0.1
  preference:
    enabled: "off"
    reference: base
    method: orpo
---


::image path="a.png"::
	
<!-- dlm-auto-mined: judge_name="j" judge_score_chosen="0.82" judge_score_rejected="1e-7" mined_at="2026-01-02" mined_run_id="7" -->
### Q
<!-- dlm-auto-harvest: source="run_1" -->
### Q
text with é
<!-- dlm-auto-synth: a="b" -->
	
::image path="" ::
::audio path="x.wav" transcript="hi"::
::image path="a.png"::
::image path="" ::