// placeholder of this worktree
