---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
base_model: hf:org/name
training:
  lr_scheduler: cosine
  sources_policy: strict
  warmup_ratio: 0.1
  cpt: {}
export:
  default_temperature: null
  default_top_p: 0.9
  default_quant: Q4_K_M
---


::image   alt="q"  path="b"   ::
```python

```
<!-- dlm-auto-mined: judge_name="j" judge_score_chosen="0.82" judge_score_rejected="1e-7" mined_at="2026-01-02" mined_run_id="7" -->
::instruction::
::image   alt="q"  path="b"   ::
<!-- dlm-auto-harvest: source="run_1" -->
  ::instruction::
::image path="a.png"::
 
