---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
base_model: hf:org/name
training:
  sources_policy: permissive
  warmup_ratio: 0
  gate:
    enabled: false
    entropy_lambda: yes
  cache:
    prune_older_than_days: 90
  audio:
    auto_resample: true
  dpo:
    enabled: true
    beta: 0.3
    reference: pre_dpo_adapter
export:
  default_quant: Q6_K
  default_temperature: 2
  default_top_p: 0.9
system_prompt: >
  folded
  text
---


  ::instruction::
 
::image   alt="q"  path="b"   ::
::instruction::
```
   
::audio path="x.wav" transcript="hi"::
::image path="" ::

```python

