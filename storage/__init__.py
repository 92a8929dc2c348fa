"""The product on disk: writing, reading and verifying dataset stores."""
