---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 11
base_model: paligemma-3b-mix-224
---


::preference::