module.exports = {
    // The plugin by its path: hooks install it beside prettier, not in the repository.
    plugins: [require.resolve("@prettier/plugin-xml")],
    bracketSpacing: false,
    printWidth: 88,
    proseWrap: "always",
    semi: true,
    trailingComma: "es5",
    xmlWhitespaceSensitivity: "preserve",
    tabWidth: 4,
    overrides: [{files: "*.{yml,yaml}", options: {tabWidth: 2}}],
};
