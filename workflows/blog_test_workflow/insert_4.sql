INSERT INTO rsql_blog.blog_table (id, data) VALUES (4, 'row 4');
