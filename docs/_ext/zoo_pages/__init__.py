"""The pages of the zoo, written from the registry whenever the site is built."""
