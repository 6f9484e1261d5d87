"""What training reads: splits, class weights and the loader."""
