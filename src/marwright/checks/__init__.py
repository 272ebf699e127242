"""What is checked before anything is trusted: archives are verified, configurations and handlers linted."""
