"""rtstyle: a real-time stylizer of video and pictures."""
