"""What a user sees while marwright works, and how text of others is shown there."""
