"""What training any image network needs: data, precision, processes, augmentation, curves, quality."""
