"""Arithmetic of resources: quantities, ranges, sets, reservations and volumes."""

from tepui.resources.parse import parse_attributes, parse_resources
from tepui.resources.ranges import Ranges
from tepui.resources.resources import Resources

__all__ = ["Ranges", "Resources", "parse_attributes", "parse_resources"]
