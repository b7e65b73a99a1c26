/** Names the descriptor of the launcher's shared file, in the environment of each rank. */
export const sharedFileVariable = "WAN_RANKS_FD";

/** The descriptor that ranks get the shared file as: the first after the standard ones. */
export const sharedFileDescriptor = 3;
