"""Two long specs that use every form of the language, for tests of parser and recovery.

What they say of systems is not checked here; several of their components are not built yet.
"""

LARGE = """\
import "std/llama3"   as llama3
import "std/hardware" as hw

model llama3_405b extends llama3.base {
  layers  = 126
  d_model = 16_384
  layer {
    attention { heads = 128, kv_heads = 8 }
    ffn       { d_ff = 53_248 }
  }
}

cluster grand_teton {
  nodes  = 2048
  node   = hw.dgx_h100
  fabric = roce { bandwidth = 400Gbps, pod = 3072 gpus, oversubscription = 7 }
}

train pretrain {
  optimizer   = adamw { lr = 8e-5, betas = [0.9, 0.95], weight_decay = 0.1 }
  lr_schedule = cosine { warmup = 8000 steps, min_lr = 8e-7 }
  precision   = bf16
  phase start  { tokens = 252M,  seq_len = 4Ki, global_batch = 4Mi tokens }
  phase main   { tokens = 12.4T, seq_len = 8Ki, global_batch = 16Mi tokens }
}

plan main {
  model      = llama3_405b
  cluster    = grand_teton
  train      = pretrain
  tp         = 8
  pp         = 16
  dp         = auto                      # derived: 128
  schedule   = interleaved(chunks = 8)   # or gpipe, one_f_one_b
  stages     = auto
  order      = [tp, cp, pp, dp]
  microbatch = auto in [1, 2, 4]
  phase long { cp = 16 }
  assert memory.peak < 76GiB
  assert not (mfu <= 38%) and
    tp in [1, 2, 4, 8]
  minimize step_time
}

sweep context of main {
  vary train.seq_len in [8Ki, 32Ki, 128Ki]
  vary cp            in [1, 4, 16]
  where tp * pp * cp <= 2048
}
"""

MIXED = """\
model llama4_maverick {
  vocab   = 202_048
  d_model = 5120
  layers  = 48
  norm    = rms(eps = 1e-5)
  layer {
    attention = gqa {
      heads = 40, kv_heads = 8, head_dim = 128
      rope = rope { theta = 500_000, pairs = interleaved }
      mask = chunked(8Ki)
    }
    ffn = swiglu(d_ff = 16_384)
  }
  layer where (i + 1) % 4 == 0 {                # these see everything, without positions
    attention { rope = none, mask = full, temperature = log_floor { scale = 0.1, floor = 8Ki } }
  }
  layer where i % 2 == 1 {
    ffn = moe { experts = 128, top_k = 1, d_ff = 8192, router = sigmoid(score_on = input) }
  }
}
"""

SMALL = """\
let width = 64

model tiny {
  vocab = 256
  d_model = width
  layers = 4
  layer {
    attention = gqa { heads = 4, kv_heads = 2, rope = rope { theta = 10_000 } }
    ffn = swiglu(d_ff = 128)
  }
  layer where i == last { attention { qk_norm { eps = 1e-6 } } }
}

cluster laptop { node = cpu { devices = 4 } }

train short {
  steps = 20
  seq_len = 128
  global_batch = 8 sequences
  optimizer = adamw { lr = 1e-3 }
  lr_schedule = cosine { warmup = 10 steps, min_lr = 1e-4 }
  data = text { train = "texts" }
}

plan main {
  model = tiny
  cluster = laptop
  train = short
  tp = 2
  assert tp * 2 <= width
}
"""
