"""Images and their labels wherever they lie: stores, folders, zips."""
