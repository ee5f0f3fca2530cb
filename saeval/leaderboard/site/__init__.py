"""A built board as static pages: plain HTML that reads without JavaScript, and charts after it."""
