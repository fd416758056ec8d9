---
dlm_id: 095QAYK6820NFEX929MVJ7QRX1
dlm_version: 15
base_model: "dir:@BASE@"
training:
  lora_r: 5
  lora_alpha: 9
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 0
  learning_rate: 0.001
  lr_scheduler: "cosine"
  warmup_ratio: 0.1
  micro_batch_size: 2
  grad_accum: 3
---

::image path="images/one.png" alt="a drawing"::
en an ground

::instruction::
### Q
en shapes are?
### A
triangle answer has this
### Q
water small?
### A
is

::prose::
Image of colour of the there.

::instruction::
### Q
en many a how?
### A
image red

::image path="images/two.png" alt="a drawing"::
caption en one

