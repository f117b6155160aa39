"""What turns policies into packs: registration, settings, waivers, and the policies of `pulumi_policy`."""
