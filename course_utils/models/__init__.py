"""The networks of the six lectures: the papers' own, torchvision's where they differ, and small ones for 28x28."""

from course_utils.models.alexnet import ALEXNET_WIDTHS, AlexNet, alexnet, mini_alexnet
from course_utils.models.googlenet import (
    GoogLeNet,
    Inception,
    InceptionNaive,
    auxiliary_loss,
    googlenet,
    mini_googlenet,
)
from course_utils.models.imagenet import imagenet_classifier
from course_utils.models.lenet import LeNet5, lenet5
from course_utils.models.pretrained import PRETRAINED, PretrainedUnavailable, load_pretrained
from course_utils.models.resnet import (
    RESNET_STAGES,
    BasicBlock,
    Bottleneck,
    ResNet,
    plain18,
    plain34,
    plain_cifar,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnet_cifar,
)
from course_utils.models.vgg import VGG, mini_vgg, vgg, vgg11, vgg13, vgg16, vgg19
from course_utils.papers import INCEPTION_WIDTHS, VGG_CONFIGURATIONS, kernel_and_channels
