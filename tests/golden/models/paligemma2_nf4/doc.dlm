---
dlm_id: 0E6XKSBBHQ2ZP8N41RATVJJMTG
dlm_version: 15
base_model: "dir:base"
training:
  lora_r: 4
  lora_alpha: 8
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 0
  learning_rate: 0.001
  lr_scheduler: "constant"
  warmup_ratio: 0.0
  micro_batch_size: 2
  grad_accum: 2
  adapter: "qlora"
  quant: "nf4"
  double_quant: false
---

::image path="images/one.png" alt="a drawing"::
there blue colour

::instruction::
### Q
a the?
### A
three en
### Q
the the en the?
### A
one en are image

::prose::
And two image it.

