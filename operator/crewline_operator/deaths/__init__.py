"""Dead workers: what they ran is handed back at once where their pods show that they are dead, and why."""
