"""The layers, one file per family; `dlcore.nn.layer` names them all."""
