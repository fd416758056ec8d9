---
dlm_id: 0WBWGRNQGN04BQRMK7HX9WXC9W
dlm_version: 15
base_model: "gguf:base/base.gguf"
training:
  lora_r: 3
  lora_alpha: 6
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 0
  learning_rate: 0.001
  lr_scheduler: "constant"
  warmup_ratio: 0.0
  micro_batch_size: 2
  grad_accum: 2
---

::image path="images/one.png" alt="a drawing"::
is star describe question

::instruction::
### Q
water the?
### A
large three
### Q
two on ground?
### A
en what detect

::prose::
Square square on has are.

