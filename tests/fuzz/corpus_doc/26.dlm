---
{é: 1, base_model: b, # a
 dlm_id: '01HZ4X7TGZM3J1A2B3C4D5E6F7'}
---
