"""The fields that every experiment has, each with what it means and what is allowed.

A config file starts from `base_config()` and changes what it needs; any field can be changed on the
command line: `--config.pruning.fraction=0.3`. Durations are given in epochs or in steps, in one
unit throughout a config: the fields of the other unit stay 0 or ().
"""

from ml_collections import ConfigDict


def base_config() -> ConfigDict:
    config = ConfigDict()

    # One run for each seed (initialisation, data order, augmentation), from 0 to 2^32 - 1.
    config.seeds = (0,)

    # Where TensorFlow Datasets keeps its data; "" is $TFDS_DATA_DIR, or else its own default.
    # The same field as data.data_dir.
    config.data_dir = ""

    config.data = ConfigDict()
    # "digits" (ships with scikit-learn), an image-classification set of TFDS by its name, or
    # "module:function" of your own, which takes data_dir and returns train and test.
    config.data.name = "digits"
    config.data.data_dir = config.get_ref("data_dir")
    # Where decoded images are kept; "" is $SILO_JAX_CACHE, or else ~/.cache/silo-jax.
    config.data.cache_dir = ""
    # 0 for a set of one image size that fits on the device. Above 0, images of any size stay on
    # disk and are streamed, brought to so many pixels a side: in training a random box with
    # `min_area` of the image or more, in evaluation the middle. data.name may be "folder" then, for
    # images in data_dir/train/<class>/ and data_dir/test/<class>/ (or val).
    config.data.image_size = 0
    config.data.min_area = 0.08
    # Processes that read streamed images; 0 for threads of this one.
    config.data.workers = 0
    # Names or labels of the classes to take, with commas between, in the order of their new labels;
    # or a text file with a name a line; "" for all. ImageNet-200 is such a list over imagenet2012.
    config.data.classes = ""
    # Share of the training images that becomes the validation split, in (0, 1); stratified.
    config.data.validation_fraction = 0.1
    # 0 for the set's own test split. Above 0, and below 1: train and test are joined, this share of
    # all images is drawn as the test split, and the validation split from the others (authors: 0.2
    # and 0.25); neither is stratified then.
    config.data.test_fraction = 0.0
    # Seed of these splits, the same for all runs.
    config.data.split_seed = 0
    # Mean and standard deviation per channel, of pixels in [0, 1]; () measures the training images.
    config.data.mean = ()
    config.data.std = ()
    # Random crops after so many pixels of zero padding; 0 for none. Training only.
    config.data.crop_padding = 0
    # Random horizontal flips. Training only.
    config.data.flip = False

    config.devices = ConfigDict()
    # Into how many parts batches are split, one a device; 0 for all devices. training.batch_size is
    # a multiple of it. With devices.model = m, each part is on m devices, and kernels, masks and
    # momentum are split among these. Both may be changed from one session of a run to the next.
    config.devices.data = 0
    config.devices.model = 1

    config.evaluation = ConfigDict()
    # Whether images are cropped and flipped at random in evaluation, too (authors).
    config.evaluation.augment = False
    # Whether images that do not fill a batch of training.eval_batch_size are left out, and yet
    # counted as if they were wrong (authors).
    config.evaluation.drop_last = False
    # After which epoch of a cycle the network is scored: "last"; "best_validation", the first of
    # highest validation accuracy; "best_test", of highest test accuracy (authors). What is pruned
    # and kept is the last network in any case.
    config.evaluation.select = "last"
    # Whether the last epoch may be the best one; not so for the authors.
    config.evaluation.last_epoch = True

    config.model = ConfigDict()
    # A name of silo_jax.models.MODELS, or "module:Class" of your own linen network, called with
    # num_classes. Further fields of `model` are options of that family, such
    # as `dtype` ("float32" or "bfloat16"); a config file adds those that it needs, and so does
    # the command line: `--config.model.activation=tanh`.
    config.model.name = "lenet_300_100"

    config.pruning = ConfigDict()
    # Number of cycles, the dense one included: cycle m has (1 − fraction)^m of the weights.
    config.pruning.num_cycles = 9
    # Share of the remaining weights that is pruned at the end of a cycle, in (0, 1).
    config.pruning.fraction = 0.2
    # What ranks the weights: "magnitude", |w|; "movement", |Δw| over the last epoch (authors,
    # ResNet-20); "magnitude_movement", |w·Δw| (authors, VGG-19); "random", the control;
    # "module:function" of your own, from weights to scores.
    config.pruning.criterion = "magnitude"
    # "global" ranks all weights together, "layerwise" prunes the fraction of every layer; "erk" and
    # "erdos_renyi" give each layer a budget, "lamp" ranks all by layer-adaptive scores.
    config.pruning.scope = "global"
    # Weights that every layer keeps, at least 0; others are pruned in their place.
    config.pruning.min_kept = 1
    # Whether weights that training has brought to exactly 0 count as pruned (authors).
    config.pruning.zero_is_dead = False
    # Regular expressions on paths such as "Dense_0/kernel"; () takes what the network's family
    # states: the kernels of convolutions and dense layers, mostly. With "scale$"
    # BatchNorm's scales are pruned, too (authors).
    config.pruning.prunable = ()

    config.rewind = ConfigDict()
    # What happens after a prune. "weights": they go back to the rewind point; "lr": they are kept,
    # and only the learning rate starts afresh, as it also does with "weights" and "reinit";
    # "finetune": they are kept, and the learning rate stays at its last value; "reinit": they are
    # drawn anew, under the same masks. One name for all cycles but the first, or as many names with
    # commas between them: "weights,lr,finetune" for four cycles.
    config.rewind.policy = "weights"
    # The rewind point of "weights", before the end of cycle 0; 0 is initialisation. Epochs may be
    # fractions: 0.5.
    config.rewind.epoch = 0.0
    config.rewind.step = 0
    # Whether BatchNorm's statistics go where "weights" and "reinit" take the weights, or are kept.
    config.rewind.batch_stats = True
    # Whether the optimizer's state is made anew in every cycle, or kept for the weights left.
    config.rewind.optimizer = True
    # Whether every cycle sees images in the order, and augmented, as the first one did.
    config.rewind.data_order = False

    config.schedule = ConfigDict()
    # How max_lr moves over the cycles: "silo" from lower to upper in an S; "constant" stays at
    # upper; "list" takes `peaks`; "gradient_matched" starts from lower and, after each prune, keeps
    # max_lr times the width of the gradients, which it measures (this project's own schedule).
    config.schedule.name = "silo"
    # max_lr of the dense network, and the one approached at full sparsity; at least 0.
    config.schedule.lower = 0.1
    config.schedule.upper = 0.2
    # Steepness β of the S, above 0; cycles by which max_lr lags behind the sparsity, at least 0.
    config.schedule.steepness = 5.0
    config.schedule.delay = 1
    # max_lr of each cycle, for the schedule "list".
    config.schedule.peaks = ()
    # The learning rate within a cycle: "constant", "linear_decay", "cosine_decay", "triangular",
    # "one_cycle" or "warmup_step_decay"; "module:function" of your own, from the steps of a cycle
    # to a schedule with peak 1.
    config.schedule.shape = "warmup_step_decay"
    # For warmup_step_decay only: the length of the warm-up, after how many epochs or steps of a
    # cycle the learning rate drops, and by what factor. Epochs may be fractions: 0.5. The warm-up
    # has to end by the first drop, and the last drop has to come before the cycle's end.
    config.schedule.warmup_epochs = 0.0
    config.schedule.warmup_steps = 0
    config.schedule.drop_epochs = ()
    config.schedule.drop_steps = ()
    config.schedule.drop_factor = 0.1
    # The first learning rate of the warm-up as a share of max_lr, from 0 to 1 (authors: one step of
    # the ramp).
    config.schedule.initial_share = 0.0
    # After how many epochs or steps the warm-up is left for max_lr, however far it is; 0 for never.
    # It may be longer than the cycle then (authors).
    config.schedule.warmup_cut_epochs = 0.0
    config.schedule.warmup_cut_steps = 0

    config.checkpoints = ConfigDict()
    # How many of the newest states are kept, at least 1, beside the one at the end of each cycle.
    # May be changed from one session of a run to the next.
    config.checkpoints.keep = 2

    config.training = ConfigDict()
    # Length of a cycle: one of the two is above 0, and settles the unit of all durations.
    config.training.epochs_per_cycle = 10
    config.training.steps_per_cycle = 0
    config.training.batch_size = 64
    # Whether images that do not fill a batch sit the epoch out, or make a smaller last batch
    # (authors). Which ones they are differs by epoch.
    config.training.drop_last = True
    # Images evaluated at a time.
    config.training.eval_batch_size = 500
    # How weights are drawn: "model" as the network says; "authors" as their scripts do for all:
    # Glorot normal kernels with biases from N(0, 1), BatchNorm's scales from N(1, 0.02²).
    config.training.initialization = "model"
    # "sgd" (weight decay added to the gradient) or "adamw" (decoupled).
    config.training.optimizer = "sgd"
    config.training.momentum = 0.9
    config.training.nesterov = False
    config.training.weight_decay = 0.0
    # How often a cycle whose loss is not finite any more goes back to the end of its last sound
    # epoch, and on from there with its max_lr multiplied by the factor, in (0, 1). With 0, or after
    # so many times, the seed is given up. diverged.csv tells of both.
    config.training.divergence_retries = 0
    config.training.divergence_factor = 0.5

    return config
