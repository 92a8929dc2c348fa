"""What training any image network needs."""
