"""Every number and dtype of this program, and where each comes from."""

# The model.
VOCAB = 256  # model.vocab, inherited
D_MODEL = 128  # model.d_model, inherited
LAYERS = 4  # model.layers, inherited
HEADS = 8  # model.layer.attention.heads, inherited
KV_HEADS = 4  # model.layer.attention.kv_heads, inherited
HEAD_DIM = 16  # model.layer.attention.head_dim, derived
ATTENTION_SCALE = 0.25  # model.layer.attention.scale, derived
ROPE_THETA = 500000.0  # model.layer.attention.rope.theta, inherited
D_FF = 344  # model.layer.ffn.d_ff, inherited
NORM_EPS = 1e-05  # model.norm.eps, inherited
INIT_STD = 0.02  # model.init.std, default
INIT_ROWS = 16  # rows of a matrix that one generator draws

# The mesh: how many ranks each axis has.
FSDP = 2  # fsdp, default
TP = 2  # tp, written

# The batch.
SEQ_LEN = 256  # train.seq_len, inherited: tokens
GLOBAL_BATCH = 16  # train.global_batch, inherited: sequences per step
MICROBATCH = 8  # microbatch, written: sequences per forward
MICROBATCHES = 1  # microbatches, derived: forwards per step of a rank
LOSS_CHUNK = 256  # loss_chunks = 1

# How it learns.
STEPS = 200  # train.steps, inherited
LR = 0.003  # train.optimizer.lr, inherited: the peak
WARMUP = 20  # train.lr_schedule.warmup, inherited: steps
MIN_LR = 0.0003  # train.lr_schedule.min_lr, inherited
BETA1 = 0.9  # train.optimizer.betas, default
BETA2 = 0.95  # train.optimizer.betas, default
EPS = 1e-08  # train.optimizer.eps, default
WEIGHT_DECAY = 0.1  # train.optimizer.weight_decay, inherited: matrices only
CLIP = 1.0  # train.clip, default: largest global gradient norm
SEED = 0  # train.seed, default

# Precision.
COMPUTE_DTYPE = "float32"  # train.precision, inherited
PARAMETER_DTYPE = "float32"  # weights and optimizer state
REDUCE_DTYPE = "float32"  # gradients between ranks
ACCUMULATE_DTYPE = "float32"  # rotary angles, softmax of the loss, norms

# Data.
TRAIN_DATA = "data/python/train"  # train.data.train, inherited
SEPARATOR = 0  # the byte that ends a document
VALIDATION_DATA = "data/python/validation"  # train.data.validation, inherited
EVAL_EVERY = 50  # train.eval.every, inherited: steps
EVAL_SEQUENCES = 64  # train.eval.sequences, default
PROMPT = "def "  # train.eval.prompt, inherited
SAMPLE_TOKENS = 120  # length of the sample
SAMPLE_TEMPERATURE = 0.8  # how freely it is drawn

# How it runs.
PLAN = "laptop"  # the plan's name
DEVICE = "cpu"  # cluster.node, inherited
COMPILE = False  # compile, default: torch.compile each layer
RESHARD_AFTER_FORWARD = True  # sharding, default
REDUCE_EVERY_MICROBATCH = True  # sharding, default
LOG_EVERY = 10  # train.log.every, default: steps
SKIPS_IN_A_ROW = 10  # train.guard.skips, default: steps that end the run
PATIENCE = 480.0  # train.guard.patience, default: seconds without progress
CHECKPOINT_EVERY = 100  # train.checkpoint.every, inherited: steps
CHECKPOINTS_KEPT = 2  # train.checkpoint.keep, default
FLOPS_PER_TOKEN = 5332992.0  # forward and backward, by the model's formula
PEAK_FLOPS = 0.0  # unknown, so mfu is null

# What the run learns depends on these. A checkpoint that differs in one is refused.
MEANING: dict[str, object] = {
    "model.vocab": VOCAB,
    "model.d_model": D_MODEL,
    "model.layers": LAYERS,
    "model.norm": "rms",
    "model.norm.eps": NORM_EPS,
    "model.norm.unit_offset": False,
    "model.layer.attention": "gqa",
    "model.layer.attention.heads": HEADS,
    "model.layer.attention.kv_heads": KV_HEADS,
    "model.layer.attention.head_dim": HEAD_DIM,
    "model.layer.attention.bias": False,
    "model.layer.attention.rope": "rope",
    "model.layer.attention.rope.theta": ROPE_THETA,
    "model.layer.attention.rope.pairs": "half",
    "model.layer.attention.mask": "full",
    "model.layer.attention.scale": ATTENTION_SCALE,
    "model.layer.ffn": "swiglu",
    "model.layer.ffn.d_ff": D_FF,
    "model.layer.ffn.bias": False,
    "model.layer.norms": "pre",
    "model.head.tied": False,
    "model.embedding.scale": 1.0,
    "model.init.std": INIT_STD,
    "train.steps": STEPS,
    "train.seq_len": SEQ_LEN,
    "train.global_batch": GLOBAL_BATCH,
    "train.optimizer.lr": LR,
    "train.optimizer.betas": (BETA1, BETA2),
    "train.optimizer.eps": EPS,
    "train.optimizer.weight_decay": WEIGHT_DECAY,
    "train.lr_schedule": "cosine",
    "train.lr_schedule.warmup": WARMUP,
    "train.lr_schedule.min_lr": MIN_LR,
    "train.clip": CLIP,
    "train.precision": COMPUTE_DTYPE,
    "train.seed": SEED,
    "train.data": "text",
    "train.packing": "documents",
}
