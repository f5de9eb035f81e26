/* SPDX-License-Identifier: MIT
 *
 * The AsyncAPI document of a plugin that is built without CMake: asyncapi.yaml of the working directory, byte for byte,
 * as valawai_asyncapi. */
    .section .rodata
    .globl valawai_asyncapi
    .hidden valawai_asyncapi
    .type valawai_asyncapi, %object
valawai_asyncapi:
    .incbin "asyncapi.yaml"
    .byte 0
    .size valawai_asyncapi, . - valawai_asyncapi
    .section .note.GNU-stack, "", %progbits
