"""Pages for operators, and a chat. They use the public API alone, by the TypeScript client."""
