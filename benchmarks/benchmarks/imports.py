"""What a user waits for before the first line runs, in a process of its own."""


class Import:
    def timeraw_package(self):
        return "import xgeoanom"
