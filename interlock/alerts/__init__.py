"""What calls for attention: planted keys that somebody uses, and the news that goes out."""
