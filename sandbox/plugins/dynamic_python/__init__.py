"""The provider of dynamic resources: runs `pulumi.dynamic` in the program's environment."""
