---
dlm_id: 01KAJ2T0SHAPESEMB1EMSZQRBX
dlm_version: 15
base_model: tiny-shapes
training:
  lora_r: 16
  lora_alpha: 32
  lora_dropout: 0.0
  micro_batch_size: 8
  grad_accum: 1
  learning_rate: 0.003
  num_epochs: 30
  lr_scheduler: cosine
  warmup_ratio: 0.05
  seed: 7
---

# Two emblems

A zorbix is a blue ring around a yellow cross. A wuggle is a green square with a white star in it.
The base model has seen rings, crosses, squares and stars, but neither of these, nor their names.

::image path="images/zorbix-1.png" alt="zorbix"::
a zorbix

::instruction::
### Q
what is this emblem called?
### A
zorbix

::image path="images/wuggle-1.png" alt="wuggle"::
a wuggle

::instruction::
### Q
what is this emblem called?
### A
wuggle

::image path="images/zorbix-2.png" alt="zorbix"::
a zorbix

::instruction::
### Q
what is this emblem called?
### A
zorbix

::image path="images/wuggle-2.png" alt="wuggle"::
a wuggle

::instruction::
### Q
what is this emblem called?
### A
wuggle

::image path="images/zorbix-3.png" alt="zorbix"::
a zorbix

::instruction::
### Q
what is this emblem called?
### A
zorbix

::image path="images/wuggle-3.png" alt="wuggle"::
a wuggle

::instruction::
### Q
what is this emblem called?
### A
wuggle

::image path="images/zorbix-4.png" alt="zorbix"::
a zorbix

::instruction::
### Q
what is this emblem called?
### A
zorbix

::image path="images/wuggle-4.png" alt="wuggle"::
a wuggle

::instruction::
### Q
what is this emblem called?
### A
wuggle

::image path="images/zorbix-5.png" alt="zorbix"::
a zorbix

::instruction::
### Q
what is this emblem called?
### A
zorbix

::image path="images/wuggle-5.png" alt="wuggle"::
a wuggle

::instruction::
### Q
what is this emblem called?
### A
wuggle

::image path="images/zorbix-6.png" alt="zorbix"::
a zorbix

::instruction::
### Q
what is this emblem called?
### A
zorbix

::image path="images/wuggle-6.png" alt="wuggle"::
a wuggle

::instruction::
### Q
what is this emblem called?
### A
wuggle

::image path="images/zorbix-7.png" alt="zorbix"::
a zorbix

::instruction::
### Q
what is this emblem called?
### A
zorbix

::image path="images/wuggle-7.png" alt="wuggle"::
a wuggle

::instruction::
### Q
what is this emblem called?
### A
wuggle

::image path="images/zorbix-8.png" alt="zorbix"::
a zorbix

::instruction::
### Q
what is this emblem called?
### A
zorbix

::image path="images/wuggle-8.png" alt="wuggle"::
a wuggle

::instruction::
### Q
what is this emblem called?
### A
wuggle
