The overview begins with one sentence, whether all is well, and at most five problems, worst first, with the buttons that solve them.
