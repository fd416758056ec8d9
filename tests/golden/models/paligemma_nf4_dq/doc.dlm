---
dlm_id: 0BCW859KNR43PX3CHM5H9GXDV7
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
---

::image path="images/one.png" alt="a drawing"::
red shows many image

::instruction::
### Q
en answer?
### A
there
### Q
shapes shows left?
### A
image

::prose::
Water which segment of detect has this image.

