"""Programs for people who change this project. Nothing that is deployed, and no command of an operator, needs them."""
