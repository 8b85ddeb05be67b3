"""Code that the SQL stores share. Each dialect keeps its statements in the folder of its name."""
