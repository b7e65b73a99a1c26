export { cleanPrompt } from "./clean-prompt.ts";
export { MaxLengthError } from "./tokenizer/max-length-error.ts";
export { type Encoded, type EncodeOptions, Tokenizer } from "./tokenizer/tokenizer.ts";
export { TokenizerFileError, type TokenizerFileErrorCode } from "./tokenizer/tokenizer-file-error.ts";
