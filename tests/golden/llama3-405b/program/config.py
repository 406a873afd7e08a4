"""Every number and dtype of this program, and where each comes from."""

# The model.
VOCAB = 128256  # model.vocab, inherited
D_MODEL = 16384  # model.d_model, inherited
HEADS = 128  # model.layer.attention.heads, inherited
KV_HEADS = 8  # model.layer.attention.kv_heads, inherited
HEAD_DIM = 128  # model.layer.attention.head_dim, derived
ATTENTION_SCALE = 0.08838834764831843  # model.layer.attention.scale, derived
ROPE_THETA = 500000.0  # model.layer.attention.rope.theta, inherited
D_FF = 53248  # model.layer.ffn.d_ff, inherited
NORM_EPS = 1e-05  # model.norm.eps, inherited
INIT_STD = 0.02  # model.init.std, default
INIT_ROWS = 16  # rows of a matrix that one generator draws

# The mesh: how many ranks each axis has.
DP = 128  # dp, derived
PP = 16  # pp, written
FSDP = 128  # fsdp, default
TP = 8  # tp, written

# The batch.
STAGE_RUNS = ((1, 0), (126, 1), (1, 0))  # stages, derived: (stages, layers of each), first to last
# name, tokens of the run at its end, tokens per sequence, sequences per step,
# sequences per forward, forwards per step of a rank, FLOPs per token
PHASES = (
    ("start", 255852544, 4096, 1024, 1, 8, 2473221685248.0),
    ("middle", 2870258696192, 8192, 1024, 1, 8, 2523955986432.0),
    ("main", 15270265487360, 8192, 2048, 1, 16, 2523955986432.0),
)
LOSS_CHUNK = 1024  # loss_chunks = 4, 8
BLOCK = 131072  # tokens that the order of the data keeps together: every seq_len divides it

# How it learns.
PHASE = "start-main"  # the part of the run that this program is
FIRST_STEP = 0  # steps of the phases before it
STEPS = 1081290  # of the run when this part ends: 1,081,290 more
RUN_STEPS = 1128974  # of all phases: the learning rate follows these
LR = 8e-05  # train.optimizer.lr, inherited: the peak
WARMUP = 8000  # train.lr_schedule.warmup, inherited: steps
MIN_LR = 8e-07  # train.lr_schedule.min_lr, inherited
BETA1 = 0.9  # train.optimizer.betas, inherited
BETA2 = 0.95  # train.optimizer.betas, inherited
EPS = 1e-08  # train.optimizer.eps, default
WEIGHT_DECAY = 0.1  # train.optimizer.weight_decay, inherited: matrices only
CLIP = 1.0  # train.clip, inherited: largest global gradient norm
SEED = 0  # train.seed, default

# Precision.
COMPUTE_DTYPE = "bfloat16"  # train.precision, inherited
PARAMETER_DTYPE = "float32"  # weights and optimizer state
REDUCE_DTYPE = "float32"  # gradients between ranks
ACCUMULATE_DTYPE = "float32"  # rotary angles, softmax of the loss, norms

# Data.
TRAIN_DATA = ""  # given by --data
TOKEN_DTYPE = "uint32"  # train.data.dtype, default: little-endian
SEPARATOR = 0  # train.data.separator, default: the token that ends a document

# How it runs.
PLAN = "main"  # the plan's name
DEVICE = "cuda"  # cluster.node, inherited
COMPILE = True  # compile, default: torch.compile each layer
RESHARD_AFTER_FORWARD = False  # sharding, default
LOG_EVERY = 10  # train.log.every, default: steps
SKIPS_IN_A_ROW = 10  # train.guard.skips, default: steps that end the run
PATIENCE = 480.0  # train.guard.patience, default: seconds without progress
CHECKPOINT_EVERY = 500  # train.checkpoint.every, inherited: steps
CHECKPOINTS_KEPT = 2  # train.checkpoint.keep, default
PEAK_FLOPS = 989000000000000.0  # bf16 peak of NVIDIA H100 SXM5 80GB

# The machines, as launch/preflight.py expects them.
NODES = 2048  # cluster.nodes, inherited
DEVICES = 8  # cluster.node.devices, inherited: processes per node
LINK_BANDWIDTH = 450000000000.0  # cluster.node.link, inherited: bytes/s
FABRIC_BANDWIDTH = 50000000000.0  # cluster.fabric.bandwidth, inherited: bytes/s
CHECKPOINTS_BYTES = 14610721996800  # 2 kept and one being written, 12 bytes per parameter

# What the run learns depends on these. A checkpoint that differs in one is refused.
MEANING: dict[str, object] = {
    "model.vocab": VOCAB,
    "model.d_model": D_MODEL,
    "model.layers": 126,
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
    "train.data": "tokens",
    "train.data.dtype": TOKEN_DTYPE,
    "train.data.separator": SEPARATOR,
    "train.packing": "documents",
    "train.phase.start.tokens": 252000000,
    "train.phase.start.seq_len": 4096,
    "train.phase.start.global_batch": "4194304 tokens",
    "train.phase.middle.tokens": 2870000000000,
    "train.phase.middle.seq_len": 8192,
    "train.phase.middle.global_batch": "8388608 tokens",
    "train.phase.main.tokens": 12400000000000,
    "train.phase.main.seq_len": 8192,
    "train.phase.main.global_batch": "16777216 tokens",
    "train.phase.long.tokens": 800000000000,
    "train.phase.long.seq_len": 131072,
    "train.phase.long.global_batch": "16777216 tokens",
}
