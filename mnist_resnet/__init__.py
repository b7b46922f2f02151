"""A Hydra-configured sweep framework; its first study reproduces a report on a ResNet for MNIST."""
