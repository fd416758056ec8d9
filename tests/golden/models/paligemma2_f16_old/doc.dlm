---
dlm_id: 0HTGKWB3E0A72ZPW2391NFT28Q
dlm_version: 15
base_model: "dir:base"
training:
  lora_r: 4
  lora_alpha: 4
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 1
  learning_rate: 0.0005
  lr_scheduler: "linear"
  warmup_ratio: 0.0
  micro_batch_size: 4
  grad_accum: 1
  gradient_checkpointing: true
---

::image path="images/one.png" alt="a drawing"::
has a is small detect

::instruction::
### Q
which is?
### A
shows blue there
### Q
star an large?
### A
there the this

::prose::
Image of old house.

::instruction::
### Q
blue which?
### A
is the

