"""The worker: listens to the doorbell, delivers, and looks after what others left behind."""
