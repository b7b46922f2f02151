"""Digits in front of photographs: a study of mixup with other people's parts."""
