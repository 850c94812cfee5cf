"""Names of modules of SDXL's U-Net in Stability's code, which kohya's scripts write into adapters."""

import re


def sgm(name, layers=1):
    """The name of a module of a U-Net with so many ResNets a block."""
    inside = {"conv1": "in_layers.2", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}
    top = {"conv_in": "input_blocks.0.0", "conv_out": "out.2", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
           "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}
    if name in top:
        return top[name]
    if m := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name):
        return f"middle_block.{1 if m[1] == 'attentions' else 2 * int(m[2])}.{inside.get(m[3], m[3])}"
    if m := re.fullmatch(r"down_blocks\.(\d+)\.downsamplers\.0\.conv", name):
        return f"input_blocks.{(layers + 1) * (int(m[1]) + 1)}.0.op"
    if m := re.fullmatch(r"up_blocks\.(\d+)\.upsamplers\.0\.conv", name):
        return f"output_blocks.{(layers + 1) * int(m[1]) + layers}.2.conv"
    m = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name)
    at = (layers + 1) * int(m[2]) + int(m[4])
    side, at = ("input", at + 1) if m[1] == "down" else ("output", at)
    return f"{side}_blocks.{at}.{0 if m[3] == 'resnets' else 1}.{inside.get(m[5], m[5])}"
