"""Which of torch's functions are of which kind, by name; methods and operators share the names."""


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONVS = names("conv1d conv2d conv3d")
TRANSPOSED = names("conv_transpose1d conv_transpose2d conv_transpose3d")
ACTIVATIONS = names(
    "relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh "
    "sigmoid tanh softplus softsign logsigmoid threshold tanhshrink hardshrink softshrink"
)
DROPOUTS = names("dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout")
NORMS = names("batch_norm instance_norm group_norm layer_norm rms_norm local_response_norm normalize")
ARITHMETIC = names(
    "exp exp2 log log2 log10 log1p expm1 sqrt rsqrt pow square abs absolute neg negative positive sin "
    "cos tan clamp clip clamp_min clamp_max reciprocal sign erf floor ceil round nan_to_num where "
    "maximum minimum addcmul addcdiv lerp eq ne lt le gt ge logical_and logical_or logical_not "
    "floor_divide remainder atan asin acos sinh cosh masked_fill floordiv bitwise_and bitwise_or"
)
# What leaves every value where it is.
COPIES = names(
    "to float half double bfloat16 type type_as contiguous clone detach data cpu cuda requires_grad"
)
SPREADS = names("channel_shuffle native_channel_shuffle expand expand_as")
SUMS = names("add sub subtract")
PRODUCTS_OF_TWO = names("mul multiply div divide true_divide")
JOINS = names("cat concat concatenate stack")
POOLS = names(
    "max_pool1d max_pool1d_with_indices avg_pool1d lp_pool1d "
    "max_pool2d max_pool2d_with_indices avg_pool2d lp_pool2d "
    "max_pool3d max_pool3d_with_indices avg_pool3d lp_pool3d "
)
ADAPTIVE_POOLS = names(
    "adaptive_avg_pool1d adaptive_max_pool1d adaptive_max_pool1d_with_indices "
    "adaptive_avg_pool2d adaptive_max_pool2d adaptive_max_pool2d_with_indices "
    "adaptive_avg_pool3d adaptive_max_pool3d adaptive_max_pool3d_with_indices "
)
REDUCTIONS = names("mean sum amax amin max min std var norm vector_norm logsumexp median prod argmax argmin")
PRODUCTS = names("matmul mm bmm mv addmm baddbmm")
RESHAPES = names("view reshape flatten unflatten squeeze unsqueeze view_as reshape_as")
PERMUTES = names("permute transpose swapaxes swapdims T mT t")
SPLITS = names("chunk split tensor_split unbind split_with_sizes")
ATTENTION = names("scaled_dot_product_attention multi_head_attention_forward")
RESIZES = names("interpolate upsample")
