"""The provider of dynamic resources: it hands over to `pulumi.dynamic` in the program's own environment."""
