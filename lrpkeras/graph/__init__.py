"""A model as a graph of few node kinds: the kinds, the readers, what structure tells of tensors."""
